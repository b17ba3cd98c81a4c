package io.ublkbridge.queue;

/// Who owns a tag.
enum SlotState {
  /// Nobody yet: the queue has not been started.
  NEW,
  /// The kernel: fetched or committed, no request here.
  KERNEL,
  /// The target: it has the request and must end it.
  TARGET,
  /// Nobody any more: the device is going away.
  GONE
}
