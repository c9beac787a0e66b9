/** Takes what the operator should know of the connection to the control plane. Never secrets. */
export type ControlLog = (event: string, fields: object) => void;
