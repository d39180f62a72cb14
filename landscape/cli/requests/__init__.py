"""From options to what the workflow takes: sources, planes, measures, and the session of a command."""
