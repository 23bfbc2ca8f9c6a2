"""`countersign hook`: people approve what coding agents want to do."""
