"""What pictures are written with."""

NO_DATES = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}  # the same report, the same file
