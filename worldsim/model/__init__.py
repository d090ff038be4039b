"""The networks and the maths of sampling."""
