"""`python -m deploy.reference`."""

from deploy.reference import write

write()
