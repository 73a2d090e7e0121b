"""`velcodec view`: archives in a browser, served from this machine or written to one page."""
