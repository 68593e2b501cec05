package nft

// exprSlab cuts lists of expressions from larger pieces of memory: a table has thousands of
// short ones. A list never grows into the next one. The zero value is ready.
type exprSlab struct{ rest []Expr }

// slabExprs is the length of a piece, 90 KiB.
const slabExprs = 512

// take returns a list of n empty expressions, never nil.
func (s *exprSlab) take(n int) []Expr {
	if n > slabExprs/4 {
		return make([]Expr, n)
	}
	if n > len(s.rest) {
		s.rest = make([]Expr, slabExprs)
	}
	out := s.rest[:n:n]
	s.rest = s.rest[n:]
	return out
}
