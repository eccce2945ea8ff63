"""What an operator installs beside Vedette, and the scripts that make the parts that are made."""
