/** What a sidecar says of itself at most, and what the control plane keeps of it. */
export const MAX_TRUSTED_ROOTS = 64;
export const MAX_PLAINTEXT_CALLERS = 32;
