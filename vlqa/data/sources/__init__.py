"""Pictures that are no files of their own: members of archives, rows of tables, lines of lists, addresses."""
