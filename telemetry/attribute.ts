// The type of an attribute's value, as views give it.

export const ABSENT = 0
export const STRING = 1
export const BOOL = 2
export const INT = 3
export const DOUBLE = 4
/** An array, a list of key-value pairs, or bytes. */
export const OTHER = 5
export type AttributeType = typeof ABSENT | typeof STRING | typeof BOOL | typeof INT | typeof DOUBLE | typeof OTHER
