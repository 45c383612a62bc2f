"""Reads a compose file by the Compose Specification, and tells what is wrong with it."""

import sys

from compose_spec import PyCompose

with open(sys.argv[1], encoding="utf-8") as file:
    text = file.read()
try:
    compose = PyCompose.from_yaml(text)
    for check in (compose.validate, compose.validate_networks, compose.validate_volumes, compose.validate_secrets):
        check()
    compose.to_spec()
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
