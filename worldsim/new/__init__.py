"""From the id of a Gymnasium environment to a world: what `worldsim new` is given, shows, plans and says of the result."""
