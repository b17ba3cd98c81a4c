package io.ublkbridge.cli;

import java.util.concurrent.Callable;

/// A verb of the command line.
interface Verb extends Callable<Integer> {
  CommonOptions common();

  @Override
  Integer call() throws CommandFailure;
}
