import { isRecord } from '#policy/schema/schema.ts';

/** The API server said no, or was not there. */
export class ApiError extends Error {
  /** HTTP status; undefined: there was no answer. */
  readonly status: number | undefined;
  /** `NotFound`, `Conflict`, `Expired`, …; empty: not said. */
  readonly reason: string;

  constructor(status: number | undefined, reason: string, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.reason = reason;
  }
}

/** The error that an answer of this status amounts to; its body is a `Status` object, or text. */
export function errorOfAnswer(status: number, body: unknown, what: string): ApiError {
  const reason = isRecord(body) && typeof body.reason === 'string' ? body.reason : '';
  const message = isRecord(body) && typeof body.message === 'string' ? body.message : `HTTP status ${status}`;
  return new ApiError(status, reason, `${what}: ${message}`);
}

/** The version asked for is no longer there: to list anew is all that helps. */
export function isGone(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 410 || error.reason === 'Expired' || error.reason === 'Gone');
}

export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}

/** Another was first: the object is not of the version that was to be replaced, or is there already. */
export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409;
}

/** Not as it is asked: to ask again is of no use until somebody has changed something. */
export function isRefused(error: unknown): boolean {
  if (!(error instanceof ApiError) || error.status === undefined || isUnavailable(error)) return false;
  return error.status >= 400 && error.status !== 408 && !isGone(error);
}

/** No answer, or one that says to come again. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  return error.status === undefined || error.status === 429 || error.status >= 500;
}
