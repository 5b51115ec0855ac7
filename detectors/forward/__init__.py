"""Forward passes in bounded memory: `footprint` estimates one, `tiles` cuts an image that would take too much.

`receptive_field` finds the margin that tiles need, and `bounded` puts the parts together for the adapter.
"""
