package assay_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	assay "github.com/assay-ml/assay/clients/go"
	"github.com/assay-ml/assay/clients/go/assayv1"
)

func TestArraysAreLittleEndian(t *testing.T) {
	for _, found := range []struct {
		value *assay.Value
		kind  assayv1.DataType
		data  string
	}{
		{assay.Array([]float32{1, -2}, 2), assayv1.DataType_DATA_TYPE_FLOAT32, "\x00\x00\x80\x3f\x00\x00\x00\xc0"},
		{assay.Array([]float64{1}), assayv1.DataType_DATA_TYPE_FLOAT64, "\x00\x00\x00\x00\x00\x00\xf0\x3f"},
		{assay.Array([]int32{-2}), assayv1.DataType_DATA_TYPE_INT32, "\xfe\xff\xff\xff"},
		{assay.Array([]int64{258}), assayv1.DataType_DATA_TYPE_INT64, "\x02\x01\x00\x00\x00\x00\x00\x00"},
		{assay.Array([]uint8{1, 2}, 1, 2), assayv1.DataType_DATA_TYPE_UINT8, "\x01\x02"},
		{assay.Array([]bool{true, false}, 2), assayv1.DataType_DATA_TYPE_BOOL, "\x01\x00"},
		{assay.Array([]string{"a", "b"}, 2), assayv1.DataType_DATA_TYPE_STRING, ""},
	} {
		tensor := found.value.GetTensor()
		if tensor.GetDataType() != found.kind || string(tensor.GetData()) != found.data {
			t.Errorf("%v has the bytes %x", tensor.GetDataType(), tensor.GetData())
		}
	}
}

// npz writes arrays, each a header and data.
func npz(t *testing.T, arrays map[string]string) string {
	var file bytes.Buffer
	archive := zip.NewWriter(&file)
	for name, content := range arrays {
		_, err := must[interface{ Write([]byte) (int, error) }](t)(archive.Create(name + ".npy")).Write([]byte(content))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cases.npz")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func npy(descr, order, shape, data string) string {
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr, order, shape)
	return "\x93NUMPY\x01\x00" + string([]byte{byte(len(header)), 0}) + header + data
}

func TestAnNPZBecomesCases(t *testing.T) {
	x := npy("|u1", "False", "(2, 3)", "abcdef")
	cases := must[[]*assay.Case](t)(assay.ReadNPZ(npz(t, map[string]string{
		"x": x, "y": npy("<i4", "False", "(2,)", "\x05\x00\x00\x00\x01\x00\x00\x00"), "z": "anything",
	})))
	second := cases[1].GetInputs()["x"].GetTensor()
	if len(cases) != 2 || cases[1].GetId() != "1" || string(second.GetData()) != "def" || second.GetShape()[0] != 3 {
		t.Errorf("the cases are %v", cases)
	}
	if cases[0].GetClass().GetLabel().GetIndex() != 5 {
		t.Errorf("the first answer is %v", cases[0].GetClass())
	}
	cases = must[[]*assay.Case](t)(assay.ReadNPZ(npz(t, map[string]string{"x": x})))
	if len(cases) != 2 || cases[0].GetExpected() != nil {
		t.Errorf("without answers the cases are %v", cases)
	}
	value := npy("<f4", "False", "(2,)", "\x00\x00\x80\x3f\x00\x00\x00\xc0")
	cases = must[[]*assay.Case](t)(assay.ReadNPZ(npz(t, map[string]string{"x": x, "y": value})))
	if cases[1].GetValue() != -2 {
		t.Errorf("the second answer is %v", cases[1].GetExpected())
	}
}

func TestAWrongNPZIsRefused(t *testing.T) {
	x := npy("|u1", "False", "(2, 3)", "abcdef")
	for arrays, expected := range map[*map[string]string]string{
		{"y": x}: "no array x",
		{"x": x, "y": npy("|u1", "False", "(3,)", "abc")}:                      "y has the shape [3]",
		{"x": x, "y": npy("<i8", "False", "(2,)", strings.Repeat("\xff", 16))}: "row 0 has the label -1",
		{"x": npy("|u1", "False", "(2, 4)", "abcdef")}:                         "needs 8 bytes",
		{"x": npy("|u1", "False", "(2, 2)", "abcdef")}:                         "needs 4 bytes",
		{"x": npy("|u1", "True", "(2, 3)", "abcdef")}:                          "C order was expected",
		{"x": npy("<c8", "False", "(2, 3)", "abcdef")}:                         "has the type <c8",
		{"x": npy("<f8", "False", "(2147483647, 2147483647, 2147483647)", "")}: "too large",
		{"x": "no array"}:                          "is no array of NumPy",
		{"x": "\x93NUMPY\x02\x00\xff\xff\xff\xff"}: "its header has",
	} {
		_, err := assay.ReadNPZ(npz(t, *arrays))
		if !errors.Is(err, assay.ErrInvalidRequest) || !strings.Contains(err.Error(), expected) {
			t.Errorf("%q was expected, %v was found", expected, err)
		}
	}
}
