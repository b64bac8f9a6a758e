"""The contract a user's class keeps, and the compiler that turns it into a record and addresses."""
