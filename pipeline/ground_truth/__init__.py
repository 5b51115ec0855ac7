"""Ground truth for the evaluation: WIDER FACE's official files, or easy, medium and hard by face height.

`truth` finds and reads it; `official_files` and `mat5` read the `.mat` files, `official_val` recognises the
official validation set, and `face_groups` adds further settings. Used by the evaluate stage and `crface score`.
"""
