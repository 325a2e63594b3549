//! Looking on from the side: logs, metrics, health, graph. Nothing here can slow the line.
