"""The sub-commands of `seawall`, one a file."""
