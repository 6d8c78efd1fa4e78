package parkit_go

import (
	"encoding/json"

	"parkit/gocore/errs"
)

// boundJSON is bound for functions that take a request and give an answer as
// JSON text: everything that holds text of a user's crosses so, because gopy
// ends a string at the first NUL and JSON has none.
func boundJSON[Request, Answer any](op, request string, body func(Request) (Answer, error)) (string, error) {
	return bound(op, func() (string, error) {
		var asked Request
		if err := json.Unmarshal([]byte(request), &asked); err != nil {
			return "", errs.Wrap(errs.Internal, op, "", err)
		}
		answer, err := body(asked)
		if err != nil {
			return "", err
		}
		return asJSON(op, answer)
	})
}

func asJSON(op string, answer any) (string, error) {
	text, err := json.Marshal(answer)
	return string(text), errs.Wrap(errs.Internal, op, "", err)
}
