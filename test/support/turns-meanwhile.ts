/** What the work comes to, and how many turns of the event loop others had until then. */
export async function turnsMeanwhile<Result>(
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly others: number }> {
  let others = 0;
  let isDone = false;
  const count = () => {
    others += 1;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const result = await work();
  isDone = true;
  return { result, others };
}
