package io.ublkbridge.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

@Command(name = "demo", header = "Show the whole of it on a disk image made for the purpose.")
final class DemoCommand implements Verb {
  @Mixin private CommonOptions common = new CommonOptions();

  DemoCommand(Console console, Host host) {}

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() throws CommandFailure {
    return ExitCode.DONE.status();
  }
}
