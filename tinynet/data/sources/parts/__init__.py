"""What sources are made of: files of each kind, arrays, objects, and some rows of them."""
