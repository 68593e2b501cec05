package nft

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

func next(t *testing.T, e *Events) Changed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := e.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEvents(t *testing.T) {
	r := network(t)
	e, err := r.Watch()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	// Ours is not told, what comes behind it is: with its process, each table once.
	bring(t, r, "inet provision", Own(samples()[2], "").Attrs)
	tool(t, "table ip other {\n chain x {\n accept\n }\n}\nadd rule inet provision c0 drop\n", "-f", "-")
	c := next(t, e)
	if c.Lost || len(c.Tables) != 2 {
		t.Fatalf("got %+v", c)
	}
	slices.SortFunc(c.Tables, func(a, b Change) int { return len(a.Family) - len(b.Family) })
	for i, want := range []Change{{Family: "ip", Table: "other", Process: "nft"}, {Family: "inet", Table: "provision", Process: "nft"}} {
		got := c.Tables[i]
		if got.PID == 0 {
			t.Error("no process is named")
		}
		if got.PID = 0; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	// A flush of everything.
	tool(t, "", "flush", "ruleset")
	if c := next(t, e); len(c.Tables) != 2 || c.Tables[0].Process != "nft" {
		t.Errorf("got %+v", c)
	}
	// Our own change alone: nothing comes.
	bring(t, r, "inet provision", Own(samples()[2], "").Attrs)
	bring(t, r, "inet provision", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if c, err := e.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("our own change was told: %+v, %v", c, err)
	}
	// Another instance is another program.
	other := &Resource{}
	bring(t, other, "inet provision", Own(samples()[2], "").Attrs)
	if c := next(t, e); len(c.Tables) != 1 || c.Tables[0].Table != "provision" {
		t.Errorf("got %+v", c)
	}
}

// A socket that is too small loses events, and says so.
func TestEventsLost(t *testing.T) {
	r := network(t)
	e, err := r.Watch()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.conn.Buffer(4096); err != nil {
		t.Fatal(err)
	}
	other := &Resource{}
	for range 20 {
		bring(t, other, "inet provision", Own(samples()[2], "").Attrs)
		bring(t, other, "inet provision", nil)
	}
	if c := next(t, e); !c.Lost {
		t.Errorf("nothing was lost: %+v", c)
	}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := e.Next(ctx)
		cancel()
		if err != nil {
			break
		}
	}
	tool(t, "", "add", "table", "ip", "later")
	if c := next(t, e); c.Lost || len(c.Tables) != 1 || c.Tables[0].Table != "later" {
		t.Errorf("after the loss: %+v", c)
	}
}

// Who waits can be told to stop.
func TestEventsEnd(t *testing.T) {
	r := network(t)
	e, err := r.Watch()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := e.Next(context.Background())
		done <- err
	}()
	e.Close()
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("got %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it waits on")
	}
}
