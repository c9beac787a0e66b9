/** Resolves at SIGTERM or SIGINT, or when `stop` is called. A second signal ends the process at once. */
export function untilToldToStop(): { readonly promise: Promise<undefined>; readonly stop: () => void } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const stop = () => resolve(undefined);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      stop();
      process.once(signal, () => process.exit(1));
    });
  }
  return { promise, stop };
}
