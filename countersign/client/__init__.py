"""Client of the HTTP interface: ask people from any program."""
