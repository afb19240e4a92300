"""Scanned pages -> text, in child processes of their own, where the extra `ragcli[ocr]` is installed."""
