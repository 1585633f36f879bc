/**
 * The environment of a machine whose clock is wrong by `offset`, such as `+1d`; its waits last as long as ever. It is what the
 * wrapper `faketime` sets, which would stand between a test and the process.
 */
export function wrongClock(offset: string): Readonly<Record<string, string>> {
  return {
    LD_PRELOAD: "/usr/$LIB/faketime/libfaketimeMT.so.1",
    FAKETIME: offset,
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
    DONT_FAKE_MONOTONIC: "1",
  };
}
