/** What ends a part that was started; run in reverse order. */
export type Closer = () => void | Promise<void>;
