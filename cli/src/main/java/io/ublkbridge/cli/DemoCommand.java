package io.ublkbridge.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

@Command(
    name = "demo",
    header = "Show the whole of it on a disk image made for the purpose.",
    description = {
      "Makes an ext4 image with some thousand files, serves it with nbdkit, attaches it, mounts it,",
      "checks every file, writes, unmounts, detaches, and checks the image. Needs root and a kernel",
      "with ublk; in a checkout, ./ublk-bridge demo brings a virtual machine where there is none."
    },
    footer = {"", "Example:", "  ublk-bridge demo"})
final class DemoCommand implements Verb {
  private final Answer answer;
  private final Host host;

  @Mixin private CommonOptions common = new CommonOptions();

  DemoCommand(Answer answer, Host host) {
    this.answer = answer;
    this.host = host;
  }

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() throws CommandFailure {
    new HostCheck(host).requireAble("cannot run the demo");
    try (Demo demo = new Demo(answer, host)) {
      demo.run();
    }
    return ExitCode.DONE.status();
  }
}
