"""`vivavoce serve --media-processes N`: sessions live in N processes of their own, on one engine.

One Python process carries about eight sessions before its pacing suffers. With N of 2 or more:

- The server that takes HTTP and WebSockets (the front) is as it is without: access, avatars and
  enrolment, the inference process, health, metrics. Only sessions live elsewhere.
- Each media process (`process`, `host`) is a `SessionHost`: signalling, RTP, encoding, one event
  loop, no tensors. It reaches the inference process by `Engine.attach`; that one shares out its
  slots and admits or refuses, so that costs and limits count the sessions of all processes.
- What is asked of a session goes to the process that has it: `handover` stands in the front behind
  `Access`, and passes the request on by a Unix socket in a `folder` of mode 0700. Who asks is said
  by a header that only the front can set. What opens a session goes to whoever has the fewest.
- Front and media process talk by a `Line`, calls as JSON in both directions: a session is told to
  the front before its client hears of it (`Whereabouts`); features of avatars are asked of the
  front, and whose access holds still; metrics and pulses are asked of the process. Which avatars
  there are, it reads from disk.
- A media process that ends, or answers no more, takes its own sessions with it. Their WebSockets
  get an error event and are closed (1012), what is asked of them is answered 410 with words, and
  another process takes its place (`front`).
"""
