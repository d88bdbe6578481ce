// Credentials in texts, as applications log them.

import t from 'tap'
import { redaction } from '../../exporter/flight/redact.ts'

const redact = await redaction([])

function hides(text: string, secret: string, left: string): void {
  t.test(`${text.slice(0, 60)} loses ${secret.slice(0, 20)}`, async t => {
    t.notMatch(redact(text), secret.slice(-12))
    t.match(redact(text), left)
  })
}

const LONG = 'Zm9v'.repeat(700)

hides('{"password": "correct horse battery", "user": "ann"}', 'horse battery', '"user": "ann"')
hides('{"password": "a\\"quoted part", "user": "ann"}', 'quoted part', '"user": "ann"')
hides("token='one two three' next", 'two three', "token='[redacted]' next")
hides(String.raw`{"msg":"{\"api_key\":\"k-12345678\"}"}`, 'k-12345678', '"msg":')
hides('SECRET_KEY=django-insecure-abc', 'insecure-abc', 'SECRET_KEY=[redacted]')
hides(`token=${LONG} after`, LONG, 'after')
hides(`Cookie: session=${LONG}`, LONG, 'Cookie: [redacted]')
hides(`amqp://user:${'p'.repeat(300)}@mq/x`, 'p'.repeat(300), '@mq/x'.slice(1))

t.test('text that only speaks of credentials is left as it is', async t => {
  for (const text of ['token expired after 5 s', 'passwords were rotated', 'secretary: ann'])
    t.equal(redact(text), text)
})
