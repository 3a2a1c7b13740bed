// The json workload: scenarios/workloads/src/json.rs says what it computes.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"wasiscope/guest/internal/guest"
)

// The words of scenarios/workloads/src/text.rs.
var words = [32]string{
	"the", "of", "and", "to", "in", "is", "that", "for", "with", "memory", "engine", "module", "table", "stack",
	"page", "guest", "host", "clock", "kernel", "cache", "branch", "loop", "value", "result", "report", "sample",
	"trap", "scope", "phase", "worker", "file", "number",
}

func main() {
	guest.Run("json", 1000, run)
}

func run(n uint64) (uint64, error) {
	document := generate(n)
	return guest.Measure(n, func(uint64) (uint64, error) {
		written, err := transform(document)
		if err != nil {
			return 0, err
		}
		check := guest.FNV1aEmpty
		check.Update(written)
		return uint64(check), nil
	})
}

func generate(n uint64) []byte {
	random := guest.Seed
	word := func() string { return words[random.Below(uint32(len(words)))] }
	var text bytes.Buffer
	text.WriteByte('[')
	for id := uint64(0); id < n; id++ {
		if id > 0 {
			text.WriteByte(',')
		}
		first, second := word(), word()
		whole, hundredths := random.Below(1000), 25+50*random.Below(2)
		stock := random.Next() >> 20
		one, other := word(), word()
		fmt.Fprintf(&text,
			`{"id": %d, "name": "%s \"%s\"\u0021 é", "price": %d.%02d, "stock": %d, "tags": ["%s", "%s", null]}`,
			id, first, second, whole, hundredths, stock, one, other)
	}
	text.WriteByte(']')
	return text.Bytes()
}

func transform(document []byte) ([]byte, error) {
	var records []map[string]any
	if err := json.Unmarshal(document, &records); err != nil {
		return nil, err
	}
	for _, record := range records {
		price, hasPrice := record["price"].(float64)
		stock, hasStock := record["stock"].(float64)
		tags, hasTags := record["tags"].([]any)
		if !hasPrice || !hasStock || !hasTags {
			return nil, errors.New("a record lacks a member")
		}
		record["price"] = price * 2
		record["stock"] = stock + 1
		record["tags"] = append(tags, "changed")
		record["updated"] = true
	}
	return json.Marshal(records)
}
