"""The known data sets, one TOML file each."""
