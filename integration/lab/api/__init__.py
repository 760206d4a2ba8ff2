"""The REST methods behind ``/api2``: what each takes, needs and answers."""
