//! The one file that knows every stage: it makes the queues, starts the stages and joins them in order.
