"""What tests of methods need: small problems, and the contract that every method keeps."""
