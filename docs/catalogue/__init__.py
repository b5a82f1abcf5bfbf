"""The content of the pages of docs/codes: one `Page` per code, by family. `docs/make_codes.py` writes them."""
