"""Order, processes and state: a program is executed and what it started is supervised."""
