"""Images: `header` tells format and size, `decode` reads pixels, and `drawing` draws detections on them.

Every stage decodes through `decode`, so that all of them see the same pixels.
"""
