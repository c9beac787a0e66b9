/** What the app of the closed loops answers with: path (without the slash) and bytes. */
export const PAGES = { '1k': 1_024, '64k': 65_536 } as const;
