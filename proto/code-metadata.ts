/** Metadata at the end of a refused call: the code of the refusal, of the catalogue (policy/error/codes.ts). */
export const CODE_METADATA = 'lateral-code';
