"""What plugs the policies into other people's tools; each file needs its extra."""
