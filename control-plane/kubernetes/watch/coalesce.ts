/** Runs `action` once things have been quiet for a while, and at the latest a bound after the first call. */
export interface Coalesced {
  call(): void;
  close(): void;
}

export function coalesce(
  action: () => void,
  { quietMs, longestMs }: { quietMs: number; longestMs: number },
): Coalesced {
  let timer: NodeJS.Timeout | undefined;
  let firstAtMs = 0;
  return {
    call() {
      const nowMs = performance.now();
      if (timer === undefined) firstAtMs = nowMs;
      clearTimeout(timer);
      timer = setTimeout(
        () => {
          timer = undefined;
          action();
        },
        Math.max(0, Math.min(quietMs, firstAtMs + longestMs - nowMs)),
      );
    },
    close() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
