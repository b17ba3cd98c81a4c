package io.ublkbridge.nbd;

/// Calls back once the completions that an event loop is handling now are all handled. Confined to
/// the loop, except [#close].
interface TurnEnd extends AutoCloseable {
  /// Asks for one call.
  ///
  /// @return false if the loop takes no more, and no call will come
  boolean arm();

  /// Callable from every thread.
  @Override
  void close();
}
