package io.ublkbridge.cli;

import io.ublkbridge.cli.Finding.Level;

/// Whether this host can serve a device at all, as far as that can be told without opening
/// anything; [Doctor] looks closer.
record HostCheck(Host host) {
  /// @param what what is being tried, for the message
  /// @throws CommandFailure with [ExitCode#HOST_CANNOT] and the first thing that is missing
  void requireAble(String what) throws CommandFailure {
    HostFacts facts = new HostFacts(host);
    for (Finding finding :
        new Finding[] {facts.kernel(), facts.driver(), facts.privilege(), facts.ioUringAllowed()}) {
      if (finding.level() == Level.FAIL) {
        throw new CommandFailure(
            ExitCode.HOST_CANNOT, what + ": " + finding.message(), finding.remedy());
      }
    }
  }
}
