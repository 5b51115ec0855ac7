"""Images: their headers, their pixels, and drawings on them."""
