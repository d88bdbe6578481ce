// The one function of bcryptjs that is used, so that the types are right with or without the package.

declare module 'bcryptjs' {
  const bcrypt: {
    compareSync(password: string, hash: string): boolean
    hashSync(password: string, cost: number): string
  }
  export default bcrypt
}
