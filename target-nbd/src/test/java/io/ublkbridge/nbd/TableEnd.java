package io.ublkbridge.nbd;

/// Ends commands as a connection without an owner does.
record TableEnd(CookieTable table) implements ReplyDecoder.CommandEnd {
  @Override
  public void succeeded(PendingCommand command) {
    table.end(command).complete();
  }

  @Override
  public void failed(PendingCommand command, int errno) {
    table.end(command).fail(ServerErrors.ioError(errno), null);
  }
}
