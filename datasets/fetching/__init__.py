"""Files over a network that cannot be trusted: resumed, retried, verified, placed whole.

- `fetch`: mirrors and tries, one after the other, until a file verifies
- `transfer`: one request and its body
- `part`: the bytes that have come so far
- `verify`: whether a file is the one of the card
- `session`: connections, and what their errors mean
- `patience`, `watch`: how long to wait for what, and what is told meanwhile
"""
