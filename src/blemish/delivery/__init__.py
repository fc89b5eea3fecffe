"""To the line: verdicts by webhook, MQTT or folder, spooled on disk until they have arrived."""
